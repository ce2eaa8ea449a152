export { decodeSafetensors, type Safetensors } from "./safetensors/decode.ts";
export { encodeSafetensors } from "./safetensors/encode.ts";
export type { SafetensorsDtype, SafetensorsEntry } from "./safetensors/format.ts";
