export const UUID = 'b6bfcd2f-0d0c-4c2e-9a63-3a2f52a4f3a1'

export interface XmlDisk {
  readonly type: string
  readonly target: string
  readonly path: string
  readonly readonly?: boolean
  readonly shareable?: boolean
  readonly alias?: string
}

export const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\t', '&#9;')

const diskXml = ({
  type,
  target,
  path,
  readonly,
  shareable,
  alias,
}: XmlDisk): string => `    <disk type='${type}' device='disk'>
      <source ${type === 'file' ? 'file' : 'dev'}='${escaped(path)}'/>
      <target dev='${escaped(target)}' bus='virtio'/>${readonly === true ? '\n      <readonly/>' : ''}${shareable === true ? '\n      <shareable/>' : ''}
${alias === undefined ? '' : `      <alias name='${alias}'/>\n`}    </disk>
`

/** A small domain XML in libvirt's form. `inside` goes in before <devices> as it is. */
export const domainXml = ({
  name = 'tintin',
  uuid = UUID,
  disks = [],
  inside = '',
}: {
  name?: string
  uuid?: string
  disks?: readonly XmlDisk[]
  inside?: string
}): string => `<domain type='kvm'>
  <name>${escaped(name)}</name>
  <uuid>${uuid}</uuid>
${inside}  <devices>
${disks.map(diskXml).join('')}  </devices>
</domain>
`
