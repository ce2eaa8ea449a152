import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { requiredDataFolder } from "../training/required-data.ts";

/** Rows of numbers, and what is to be told of each. */
export interface Table {
  readonly rows: readonly (readonly number[])[];
  readonly targets: readonly number[];
}

export const wineFiles = ["wine/wine.csv"] as const;

/** Features of UCI Wine, as the file has them. */
export const wineNames = [
  "alcohol",
  "malic_acid",
  "ash",
  "alcalinity_of_ash",
  "magnesium",
  "total_phenols",
  "flavanoids",
  "nonflavanoid_phenols",
  "proanthocyanins",
  "color_intensity",
  "hue",
  "od280/od315_of_diluted_wines",
  "proline",
] as const;

export const wineQualityFiles = [
  "wine-quality/winequality-red.csv",
  "wine-quality/winequality-white.csv",
] as const;

const measuredNames = [
  "fixed acidity",
  "volatile acidity",
  "citric acid",
  "residual sugar",
  "chlorides",
  "free sulfur dioxide",
  "total sulfur dioxide",
  "density",
  "pH",
  "sulphates",
  "alcohol",
] as const;

/** Features of Wine Quality; the last one says which of the two files a wine is from. */
export const wineQualityNames = [...measuredNames, "white"] as const;

/** UCI Wine: 178 wines of three cultivars. */
export function wine(): Table {
  const records = readRecords(wineFiles[0], ",");
  return {
    rows: records.map((record) => wineNames.map((name) => record[name]!)),
    targets: records.map((record) => record["target"]!),
  };
}

/** UCI Wine Quality, red and white: 5,320 different wines of 6,497, as wines that are there twice would be both trained on and scored with. */
export function wineQuality(): Table {
  const records = wineQualityFiles.flatMap((file, white) =>
    readRecords(file, ";").map((record): Record<string, number> => ({ ...record, white })),
  );
  const different = [...new Map(records.map((record) => [JSON.stringify(record), record])).values()];
  return {
    rows: different.map((record) => wineQualityNames.map((name) => record[name]!)),
    targets: different.map((record) => record["quality"]!),
  };
}

/** Rows by the names of the header. */
function readRecords(file: string, delimiter: string): readonly Readonly<Record<string, number>>[] {
  const [header, ...rows] = parse(readFileSync(join(requiredDataFolder(), file)), { delimiter });
  return rows.map((fields) => Object.fromEntries(fields.map((field, i) => [header![i]!, Number(field)])));
}
