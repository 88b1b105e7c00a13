/** A VM by its names. */
export interface DomainName {
  readonly name: string
  /** Lower case, checked: 8-4-4-4-12 hexadecimal digits. It names the record's file. */
  readonly uuid: string
}
