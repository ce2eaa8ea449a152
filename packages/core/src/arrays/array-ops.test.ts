import { describeTensorOps } from "@dgate/testing";
import { arrayOps } from "./array-ops.ts";

describeTensorOps("arrayOps float64", () => arrayOps("float64"), {
  toNumbers: (x) => x.data,
  tolerance: "float64",
});

describeTensorOps("arrayOps float32", () => arrayOps("float32"), {
  toNumbers: (x) => x.data,
  tolerance: "float32",
});
