import * as transformers from "transformers-v3";
import { describeFamilies } from "./describe-families.ts";

describeFamilies(transformers, 3);
