import { connect } from 'node:net'

/** One command to a QEMU's QMP socket; returns its answer, throws what QEMU answered otherwise. */
export function monitor(
  socket: string,
  execute: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket)
    let text = ''
    const send = (message: unknown): void => void connection.write(`${JSON.stringify(message)}\n`)
    const end = (act: () => void): void => {
      connection.destroy()
      act()
    }
    connection.on('error', reject)
    connection.on('close', () => reject(new Error(`QEMU closed ${socket}`)))
    connection.on('data', (data) => {
      text += data.toString()
      for (;;) {
        const newline = text.indexOf('\n')
        if (newline < 0) return
        const message: { QMP?: unknown; id?: string; return?: unknown; error?: { desc: string } } = JSON.parse(
          text.slice(0, newline),
        )
        text = text.slice(newline + 1)
        if (message.QMP !== undefined) {
          send({ execute: 'qmp_capabilities' })
          send({ execute, arguments: args, id: 'asked' })
        } else if (message.error !== undefined) {
          const { desc } = message.error
          return end(() => reject(new Error(`QEMU, ${execute}: ${desc}`)))
        } else if (message.id === 'asked') {
          return end(() => resolve(message.return))
        }
      }
    })
  })
}
