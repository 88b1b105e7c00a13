import { readFileSync } from 'node:fs'
import { type Server, type Socket, createServer } from 'node:net'
import type { Result } from '../ring.ts'

export interface Request {
  readonly pid: number
  readonly tool: string
  readonly words: readonly string[]
  /** Whether the client has ended, or been hung up on, before it got its answer. */
  readonly isGone: () => boolean
}

/** Listens for client.pl on a Unix socket, in the test's own process. */
export class ToolServer {
  readonly #server: Server
  readonly #clients = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async listen(path: string, answer: (request: Request) => Promise<Result>): Promise<ToolServer> {
    const server = createServer()
    const toolServer = new ToolServer(server)
    server.on('connection', (client) => toolServer.#serve(client, answer))
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
    return toolServer
  }

  /** Hangs up on all clients: what they wait for is not done. */
  disconnect(): void {
    for (const client of this.#clients) client.destroy()
  }

  async close(): Promise<void> {
    this.disconnect()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #serve(client: Socket, answer: (request: Request) => Promise<Result>): void {
    const received: Buffer[] = []
    this.#clients.add(client)
    client.on('close', () => this.#clients.delete(client))
    // A client that is killed is no error of the test.
    client.on('error', () => undefined)
    client.on('data', (data) => {
      received.push(data)
      const request = requestIn(Buffer.concat(received), client)
      if (request !== undefined)
        void answer(request)
          .then((result) => client.end(frame(result)))
          .finally(() => client.destroySoon())
    })
  }
}

/** `LENGTH\nPID\0TOOL\0WORD…`; undefined while it is not all there. */
function requestIn(received: Buffer, client: Socket): Request | undefined {
  const newline = received.indexOf('\n')
  const body = received.subarray(newline + 1)
  if (newline < 0 || body.length < Number(received.subarray(0, newline))) return undefined
  const [pid = '', tool = '', ...words] = body.toString().split('\0')
  return { pid: Number(pid), tool, words, isGone: () => client.destroyed || !isAlive(pid) }
}

// The end of a process can be known to its parent before the end of its connection is known here.
function isAlive(pid: string): boolean {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** `EXIT-STATUS LENGTH-OF-STDOUT\nSTDOUT STDERR`. */
const frame = ({ code, stdout, stderr }: Result): string => `${code} ${Buffer.byteLength(stdout)}\n${stdout}${stderr}`
