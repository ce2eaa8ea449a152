import * as transformers from "@xenova/transformers";
import { describeFamilies } from "./describe-families.ts";

describeFamilies(transformers, 2);
