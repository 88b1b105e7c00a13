// execa and winston look at process.stdin, stdout and stderr when they are loaded, and Node then makes streams of them:
// 6 ms, and standard input non-blocking. Nothing here uses them: what is read and written goes through fs (stdin.ts,
// output.ts), and children get none of them (R7).
for (const name of ['stdin', 'stdout', 'stderr'])
  Object.defineProperty(process, name, { value: undefined, configurable: true })
