import { describeTensorOps } from "@dgate/testing";
import { tensorOps } from "./tensor-ops.ts";

describeTensorOps("tensorOps on tf.Tensor", () => tensorOps, {
  toNumbers: (x) => x.data(),
  tolerance: "float32",
});
