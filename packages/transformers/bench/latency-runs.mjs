// Times the files of a network against each other, in Node and in a page alike.

/**
 * Runs all files in turns, so that each round sees one moment of the machine, until the time is up.
 *
 * @param network its files, inputs, and the tokens of its sequence, unless `tokens` says another number
 * @param open opens bytes and gives `{ run(feeds), dispose() }`
 * @param bytesOf gives the bytes of a file by its name
 * @returns of each file the milliseconds that each opening took, and each run
 */
export async function timeFiles(network, { open, bytesOf, tokens, seconds, rounds, openings, warmUps }) {
  const feeds = feedsOf(network.inputs, tokens ?? network.tokens);
  // The first model of a process starts the runtime and takes memory.
  const first = await open(await bytesOf(network.files[0].file));
  await first.dispose();
  const timed = [];
  for (const { label, file } of network.files) {
    const bytes = await bytesOf(file);
    const loadsMs = [];
    let runner;
    while (loadsMs.length < openings) {
      await runner?.dispose();
      const start = performance.now();
      runner = await open(bytes);
      loadsMs.push(performance.now() - start);
    }
    timed.push({ label, loadsMs, runsMs: [], runner });
  }
  // Buffers are made and shaders compiled in the first runs.
  for (let i = 0; i < warmUps; i++) for (const { runner } of timed) await runner.run(feeds);
  const end = performance.now() + 1000 * seconds;
  for (let round = 0; round < rounds.least || (round < rounds.most && performance.now() < end); round++) {
    for (const { runner, runsMs } of timed) {
      const start = performance.now();
      await runner.run(feeds);
      runsMs.push(performance.now() - start);
    }
  }
  for (const { runner } of timed) await runner.dispose();
  return timed.map(({ label, loadsMs, runsMs }) => ({ label, loadsMs, runsMs }));
}

/** One sequence of tokens, without padding. */
function feedsOf(inputs, tokens) {
  const contents = {
    input_ids: (i) => 1000 + ((i * 37) % 900),
    attention_mask: () => 1,
    token_type_ids: () => 0,
  };
  return Object.fromEntries(
    inputs.map((name) => {
      const data = BigInt64Array.from({ length: tokens }, (_, i) => BigInt(contents[name](i)));
      return [name, { data, shape: [1, tokens] }];
    }),
  );
}
