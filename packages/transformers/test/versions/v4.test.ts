import { describeAttach } from "./describe-attach.ts";
import { describeHub } from "./describe-hub.ts";

const load = (): Promise<unknown> => import("@huggingface/transformers");

describeAttach("@huggingface/transformers 4", load);
describeHub("@huggingface/transformers 4", load);
