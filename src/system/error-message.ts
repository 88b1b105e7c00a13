/** What an error says, in words; of something else that was thrown, that as a text. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
