import { describeAttach } from "./describe-attach.ts";
import { describeHub } from "./describe-hub.ts";

const load = (): Promise<unknown> => import("@xenova/transformers");

describeAttach("@xenova/transformers 2", load);
describeHub("@xenova/transformers 2", load);
