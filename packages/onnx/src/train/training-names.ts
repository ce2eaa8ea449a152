/** Names of the inputs and outputs that are not the model's. */
export const trainingNames = {
  lambda: "dgate.lambda",
  learningRate: "dgate.learning_rate",
  gateRate: "dgate.gate_rate",
  scalar: (index: number) => `dgate.optimizer.${index}`,
  slot: (parameter: string, index: number) => `${parameter}.slot.${index}`,
  next: (name: string) => `${name}.next`,
  gradient: (name: string) => `${name}.gradient`,
  loss: "dgate.loss",
  penalty: "dgate.penalty",
  norm: "dgate.gradient_norm",
} as const;
