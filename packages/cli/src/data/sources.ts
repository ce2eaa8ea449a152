/** A file that can be fetched: where from, its size and SHA-256 as it lies there. */
export interface RemoteFile {
  /** Name in the cache, and in a local data folder. */
  readonly name: string;
  readonly url: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A data set of idx files: images and labels for training and test. */
export interface IdxSource {
  readonly folder: string;
  readonly files: readonly [RemoteFile, RemoteFile, RemoteFile, RemoteFile];
}

const names = [
  "train-images-idx3-ubyte.gz",
  "train-labels-idx1-ubyte.gz",
  "t10k-images-idx3-ubyte.gz",
  "t10k-labels-idx1-ubyte.gz",
] as const;

function idxSource(
  folder: string,
  host: string,
  facts: readonly (readonly [sizeBytes: number, sha256: string])[],
): IdxSource {
  const file = (i: 0 | 1 | 2 | 3): RemoteFile => {
    const [sizeBytes = 0, sha256 = ""] = facts[i] ?? [];
    return { name: names[i], url: `${host}/${names[i]}`, sizeBytes, sha256 };
  };
  return { folder, files: [file(0), file(1), file(2), file(3)] };
}

/** MNIST (Y. LeCun, C. Cortes) from Google's public mirror, byte-identical to the original gzip files. */
export const mnist: IdxSource = idxSource("mnist", "https://storage.googleapis.com/cvdf-datasets/mnist", [
  [9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"],
  [28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"],
  [1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"],
  [4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"],
]);

/** Fashion-MNIST (Zalando Research, MIT). */
export const fashionMnist: IdxSource = idxSource(
  "fashion-mnist",
  "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
  [
    [26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"],
    [29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"],
    [4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"],
    [5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"],
  ],
);

/** CIFAR-10 (A. Krizhevsky, V. Nair, G. Hinton), binary version. */
export const cifar10: RemoteFile = {
  name: "cifar-10-binary.tar.gz",
  url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
  sizeBytes: 170_052_171,
  sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
};
