/** Why a file cannot be read, in words, for the codes that people meet; anything else as the system says it. */
const REASONS: Readonly<Record<string, (path: string) => string>> = {
  ENOENT: (path) => `there is no file ${path}`,
  ENOTDIR: (path) => `there is no file ${path}: a part of its path is no folder`,
  EISDIR: (path) => `${path} is a folder, not a file`,
  EACCES: (path) => `${path} may not be read by this user`,
  EPERM: (path) => `${path} may not be read by this user`,
  ELOOP: (path) => `${path} is a link that leads back to itself`,
  ENAMETOOLONG: () => 'the name of the file is too long',
}

/** Half a sentence about a file that could not be read. */
export function unreadable(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words = Object.hasOwn(REASONS, code) ? REASONS[code]?.(path) : undefined
  return (
    words ??
    `${path} cannot be read (${error instanceof Error ? error.message.replace(/^\w+: /, '').replace(/, \w+(?: '.*')?$/, '') : String(error)})`
  )
}
