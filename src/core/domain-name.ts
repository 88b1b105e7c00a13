/** A domain as records and messages know it: its UUID, and its name for people. */
export interface DomainName {
  readonly name: string
  /** 8-4-4-4-12 hexadecimal digits, lower case: checked where the XML is read. It names the record's file. */
  readonly uuid: string
}
