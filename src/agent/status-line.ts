/** What a status line has of its surroundings. */
export interface StatusLineBody {
  /** The line as it is now. */
  read(): string
  /** Gives it to systemd. */
  tell(line: string): void
  /** Does something after so many milliseconds. */
  after(milliseconds: number, work: () => void): void
}

/** Milliseconds from a change to the line. A start changes its record several times, and each line costs a child. */
const PAUSE = 500

/** The line that `systemctl status lvguard` shows. It is sent when it has changed, a moment after the change. */
export class StatusLine {
  readonly #body: StatusLineBody
  #told: string | undefined
  #isDue = false

  constructor(body: StatusLineBody) {
    this.#body = body
  }

  /** Something that it tells of may have changed. */
  changed(): void {
    if (this.#isDue) return
    this.#isDue = true
    this.#body.after(PAUSE, () => {
      this.#isDue = false
      const line = this.#body.read()
      if (line === this.#told) return
      this.#told = line
      this.#body.tell(line)
    })
  }
}
