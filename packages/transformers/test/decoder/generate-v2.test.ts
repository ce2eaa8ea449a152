import { createRequire } from "node:module";
import * as transformers from "@xenova/transformers";
import { describeStories } from "./describe-stories.ts";
import { describeT5 } from "./describe-t5.ts";

type Create = (model: unknown, options?: object) => Promise<unknown>;

// Its onnxruntime warns of each constant that it folds in a branch, and transformers.js passes no level on.
const library = createRequire(createRequire(import.meta.url).resolve("@xenova/transformers"));
const { InferenceSession } = library("onnxruntime-node") as { InferenceSession: { create: Create } };
const create = InferenceSession.create.bind(InferenceSession);
InferenceSession.create = (model, options) => create(model, { ...options, logSeverityLevel: 3 });

describeStories(transformers);
describeT5(transformers);
