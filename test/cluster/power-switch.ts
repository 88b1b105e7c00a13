import type { Node } from './nodes.ts'
import { pause } from './wait.ts'

const FOLDER = '/run/power-switch'
/** The program on a node that asks for a host to be switched off. */
export const SWITCH = '/usr/local/sbin/power-switch'

/** `power-switch HOST`: leaves word, and waits for whoever plays the switch. Exit status 0: HOST is off. */
const SCRIPT = `#!/bin/sh
mkdir -p ${FOLDER}
date +%s > "${FOLDER}/$1.asked"
left=300
until [ -e "${FOLDER}/$1.off" ]; do
  [ $((left -= 1)) -gt 0 ] || { echo "nobody switches $1 off" >&2; exit 1; }
  sleep 0.2
done
`

/**
 * The socket that a node of a pair can switch the other one off with, on a way of its own: ssh through each node's user
 * network, which is none of those between them. A node is off when its QEMU is dead; only then is the other one told.
 */
export class PowerSwitch {
  /** The names of those that were switched off, and by whom. */
  readonly did: string[] = []
  #isOver = false
  #played: Promise<void> | undefined

  private constructor(private readonly nodes: readonly Node[]) {}

  /** Puts the program on both nodes, and plays the switch until `stop`. */
  static async between(nodes: readonly Node[]): Promise<PowerSwitch> {
    for (const node of nodes)
      await node.must(`rm -rf ${FOLDER}; cat > ${SWITCH} && chmod 755 ${SWITCH} && sync`, { input: SCRIPT })
    const played = new PowerSwitch(nodes)
    played.#played = played.#play()
    // Whoever fails meanwhile says so in `stop`.
    played.#played.catch(() => undefined)
    return played
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#played
  }

  async #play(): Promise<void> {
    while (!this.#isOver) {
      for (const node of this.nodes) if ((await node.pid()) !== undefined) await this.#answer(node)
      await pause(0.5)
    }
  }

  async #answer(node: Node): Promise<void> {
    const { code, stdout } = await node.shell(
      `for file in ${FOLDER}/*.asked; do [ -e "$file" ] && [ ! -e "\${file%.asked}.off" ] && basename "$file" .asked; done; true`,
      { seconds: 20 },
    )
    for (const name of code === 0 ? stdout.split('\n') : []) {
      const other = this.nodes.find((each) => each.name === name && each !== node)
      if (other === undefined) continue
      await other.cut()
      this.did.push(`${node.name} switches ${name} off`)
      await node.must(`touch ${FOLDER}/${name}.off`)
    }
  }
}
