import { describe, expect, test } from "vitest";
import { prunedConfig } from "../../src/decoder/decoder-config.ts";
import type { LibraryMajor } from "../../src/decoder/decoder-families.ts";
import { expectedCaches, familyConfigs } from "./family-configs.ts";

/** What of a model of transformers.js makes empty caches. */
interface CachingModel {
  addPastKeyValues(feeds: Record<string, { readonly dims: readonly number[] }>, past: undefined): void;
}

type ModelClass = new (...parts: readonly unknown[]) => CachingModel;
type Module = Readonly<Record<string, unknown>>;

/** The class that a type of models is loaded as. */
function classOf(module: Module, type: string): ModelClass | undefined {
  const autos = ["CausalLM", "Seq2SeqLM", "TextToSpectrogram", "SpeechSeq2Seq"].map(
    (task) => `AutoModelFor${task}`,
  );
  for (const auto of autos) {
    const { MODEL_CLASS_MAPPINGS: maps = [] } = module[auto] as {
      MODEL_CLASS_MAPPINGS?: Map<string, [string, ModelClass]>[];
    };
    for (const map of maps) if (map.has(type)) return map.get(type)![1];
  }
  return undefined;
}

/** Shapes of the empty caches that a real model of the library makes, without an ONNX file. */
function cachesOf(module: Module, major: LibraryMajor, config: Readonly<Record<string, unknown>>) {
  const Model = classOf(module, String(config["model_type"]))!;
  const Config = module["PretrainedConfig"] as new (json: unknown) => unknown;
  const session = { inputNames: [], outputNames: [] };
  const encoder = config["is_encoder_decoder"] === true;
  const model =
    major === 2
      ? new Model({ ...config }, session, ...(encoder ? [session] : []), {})
      : new Model(new Config(config), { model: session, decoder_model_merged: session }, {});
  const feeds: Record<string, { readonly dims: readonly number[] }> = {};
  model.addPastKeyValues(feeds, undefined);
  return Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, [...dims]]));
}

const [layers, headDim] = [[2, 2], 8];

/** Versions 2 and 3 make caches from the config: by the pruned config they must come out as the pruned model has them. */
export function describeFamilies(module: Module, major: 2 | 3): void {
  describe(`transformers.js ${major} makes caches of the sizes that are left`, () => {
    const known = Object.entries(familyConfigs).filter(([type]) => classOf(module, type));

    test.each(known)("%s", (type, config) => {
      const encoder = config["is_encoder_decoder"] === true;
      const pruned = prunedConfig(config, { decoder: layers, encoder: encoder ? layers : [], headDim });
      expect(pruned.versions).toContain(major);
      expect(pruned.versions).toContain(4);
      const own = cachesOf(module, major, pruned.config);
      expect(own).toEqual(expectedCaches(type, encoder));
      expect(cachesOf(module, major, config)).not.toEqual(own);
    });

    test("of every type that is said to run in it", () => {
      expect(known.length).toBeGreaterThan(major === 2 ? 25 : 45);
      const said = Object.entries(familyConfigs).filter(([, config]) => {
        const encoder = config["is_encoder_decoder"] === true;
        return prunedConfig(config, {
          decoder: layers,
          encoder: encoder ? layers : [],
          headDim,
        }).versions.includes(major);
      });
      expect(known.map(([type]) => type)).toEqual(said.map(([type]) => type));
    });
  });
}
