export { readModelFile, writeModelFile } from "./io/read-file.ts";
