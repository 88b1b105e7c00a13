import { block } from './clock.ts'
import { writeSync } from './files.ts'
import { isErrno } from './error-message.ts'

/**
 * Writes a text whole, whatever the size of the pipe. A reader that has gone is no error: nobody is left to be told.
 */
export function write(descriptor: 1 | 2, text: string): void {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest))
    } catch (error) {
      if (!isErrno(error, 'EAGAIN')) return
      block(5)
    }
  }
}
