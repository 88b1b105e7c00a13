/**
 * The settings of lvm.conf that decide in which form an lvm command answers, each with the value that the readers here
 * rely on (FACTS 56; each was seen to matter on lvm2 2.03.16). What is said on the command line comes before lvm.conf,
 * profiles and lvmlocal.conf.
 */
const FORM: Readonly<Record<string, string>> = {
  // Otherwise errors go into a report: lvs prints it beside its rows, lvchange writes it into the VG's lock file.
  'log/report_command_log': '0',
  'log/command_names': '0',
  'log/prefix': '"  "',
  'log/verbose': '0',
  'log/indent': '0',
  'log/silent': '0',
  // lvchange too writes an empty report in JSON, and does nothing at all for a format that it does not know.
  'report/output_format': '"basic"',
  'report/compact_output': '0',
  'report/compact_output_cols': '""',
  'report/list_item_separator': '","',
  // In JSON these two leave quotation marks out, or put them where they do not belong.
  'report/prefixes': '0',
  'report/quoted': '1',
  'report/mark_hidden_devices': '1',
}

const SETTINGS = Object.entries(FORM)
  .map(([name, value]) => `${name}=${value}`)
  .join(' ')

/** The words of every lvm command whose answer is read: its own, and in which form it is to answer (R15). */
export const inKnownForm = (words: readonly string[]): string[] => ['--config', SETTINGS, ...words]
