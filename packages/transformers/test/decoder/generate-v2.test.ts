import * as transformers from "@xenova/transformers";
import { describeStories } from "./describe-stories.ts";
import { describeT5 } from "./describe-t5.ts";

describeStories(transformers);
describeT5(transformers);
