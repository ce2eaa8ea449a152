import { pipeline } from "@huggingface/transformers";
import { openHeadGates } from "../src/index.ts";

// Pipelines of the library, as it types them, are taken as they are. This file is compiled only.
const classify = await pipeline("text-classification", "small");
const gates = await openHeadGates(classify, { model: "small" });
await gates.attach(classify);
await gates.attach(classify.model);
const tell = await pipeline("text-generation", "stories");
await gates.attach(tell);
