import { describeAttach } from "./describe-attach.ts";
import { describeHub } from "./describe-hub.ts";

const load = (): Promise<unknown> => import("transformers-v3");

describeAttach("@huggingface/transformers 3", load);
describeHub("@huggingface/transformers 3", load);
