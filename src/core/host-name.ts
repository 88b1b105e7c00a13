/**
 * A name that can stand in a URI and on a command line: no option, no path, no character that a shell would read. The
 * names in the leases and in DRBD's configuration were written by others.
 */
export const isHostName = (name: string): boolean => /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(name)

/**
 * The host's part of the name that a host joins a lockspace with. sanlock's own default is `UUID.hostname`
 * (our_host_name, sanlock(8)).
 */
export const hostNameIn = (joinedAs: string): string =>
  joinedAs.replace(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\./, '')
