import type { Tool } from './answer.ts'

const said = (stdout: string | undefined): ReturnType<Tool> =>
  stdout === undefined ? { code: 10, stdout: '', stderr: 'no such resource\n' } : { code: 0, stdout, stderr: '' }

/** `drbdsetup events2 --now` and `drbdsetup show RES`, in the words that the test has put there. */
export const drbdsetup: Tool = ({ host: { drbd } }, [command]) =>
  said(command === 'events2' ? drbd?.events : drbd?.show)

/** `drbdadm dump RES`. */
export const drbdadm: Tool = ({ host: { drbd } }) => said(drbd?.dump)
