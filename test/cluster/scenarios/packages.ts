import assert from 'node:assert/strict'
import type { Domain } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import { quote } from '../nodes.ts'
import { type ClusterHost, type ClusterRing, INSTALL_PACKAGE } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'

const HOOK = '/etc/libvirt/hooks/qemu'
const INSTALL_SH = '/root/lvguard/install/install.sh'
/**
 * A folder with `dist` and `install` of an older version, as its `npm run build` made them: what host 1 has before it
 * gets the package. By default this version's own. For example: git worktree add /tmp/old COMMIT; npm ci and npm run
 * build there.
 */
const OLD = process.env['OLD']

/** Whatever the nodes were installed with: host 1 has what install.sh of the older version puts there. */
async function olderByInstallSh({ node }: ClusterHost): Promise<void> {
  await node.must(`dpkg --purge lvguard 2> /dev/null; [ ! -e ${HOOK} ] || ${INSTALL_SH} --uninstall`)
  if (OLD === undefined) {
    await node.must(INSTALL_SH)
    return
  }
  await node.copy(['-C', OLD, 'dist', 'install'], '/root/older')
  await node.must('/root/older/install/install.sh')
}

/** What is locked here, and for which VM in which state: a change of the package changes none of it. */
async function kept({ node }: ClusterHost): Promise<string> {
  return await node.must(
    `lvmlockctl -i | grep '^LK LV' | sort; for file in /run/lvguard/*-*.json; do jq -c '[.format, .domain, .state, [.volumes[] | [.vg, .lv, .role, .mode]]]' $file; done`,
  )
}

/**
 * Runs a command on the host, while VMs' starts ask for the hook all the time. @throws if a call found none, or half of
 * one
 */
async function whileCalled({ node }: ClusterHost, command: string): Promise<string> {
  const said = await node.must(
    [
      'rm -f /run/stop-calls /run/calls',
      // `started` is answered by the shell at the top of the file.
      `( until [ -e /run/stop-calls ]; do env -i LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin ${HOOK} caller started begin - < /dev/null > /dev/null 2>> /run/calls; echo $? >> /run/calls; sleep 0.02; done ) &`,
      'sleep 1',
      `{ ${command}; } 2>&1; code=$?`,
      'sleep 1; touch /run/stop-calls; wait',
      '[ $code = 0 ] || exit $code',
      'echo "calls: $(sort /run/calls | uniq -c)"',
    ].join('\n'),
    { seconds: 240 },
  )
  assert.match(said.slice(said.lastIndexOf('calls: ')), /^calls: +\d+ 0\s*$/, `each call works: ${said}`)
  return said
}

/** A VM whose start begins in the moment of a change is protected, or was refused with words. */
async function protectedOrRefused(vm: Domain, host: ClusterHost, command: string): Promise<string> {
  const [said, started] = await Promise.all([whileCalled(host, command), vm.start(host)])
  if (started.code === 0) await vm.runs(host)
  // The second is libvirt's own: systemd-machined took longer than 25 s, because the node has one slow processor.
  else assert.match(started.stderr, /lvguard: |error from service: Timeout was reached/)
  await vm.destroy(host)
  await vm.runs('nowhere')
  return said
}

/** In which AppArmor profile the hook and its Node run when libvirt calls them, as /proc/PID/attr/current says. */
async function confinement(host: ClusterHost, vm: Domain): Promise<{ readonly hook: string; readonly node: string }> {
  const { node } = host
  const program = (await node.must(`readlink -f ${HOOK}`)).trim()
  await node.must(
    [
      'rm -f /run/profile-*',
      // A look at the top of the program, and a shell before Node that looks at itself.
      `cp -p ${quote(program)} /root/program`,
      `sed 's/^call="hook"$/&; read -r profile < \\/proc\\/$$\\/attr\\/current; echo "$profile" > \\/run\\/profile-hook/' /root/program > ${quote(program)}`,
      'mv /usr/bin/node /usr/bin/node.real',
      `printf '#!/bin/sh\\nread -r profile < /proc/$$/attr/current\\necho "$profile" > /run/profile-node\\nexec /usr/bin/node.real "$@"\\n' > /usr/bin/node`,
      'chmod 755 /usr/bin/node',
    ].join('\n'),
  )
  try {
    await succeeds(vm.start(host))
    await vm.runs(host)
    await succeeds(vm.destroy(host))
  } finally {
    await node.must(`mv /usr/bin/node.real /usr/bin/node; cat /root/program > ${quote(program)}`)
  }
  const profile = async (what: string): Promise<string> =>
    ((await host.read(`/run/profile-${what}`)) ?? 'none').replaceAll('\0', '').trim()
  return { hook: await profile('hook'), node: await profile('node') }
}

/** The package on a host with VMs: there is a hook all the time, no lock changes, and no VM notices. */
export const packages: readonly ClusterScenario[] = [
  {
    name: `package: a host with ${OLD === undefined ? 'install.sh' : 'an older install.sh'} and a VM that runs gets the package, is upgraded, and goes back to install.sh`,
    spoils: true,
    seconds: 900,
    async play(cluster) {
      const [one, two] = cluster.hosts
      await olderByInstallSh(one)
      await one.agentWatches()
      const tintin = await cluster.domain('tintin')
      const haddock = await cluster.domain('haddock')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      await tintin.writes(one)
      await one.node.until('the agent has it on record', `grep -qs '"state":"running"' /run/lvguard/*-*.json`)
      const before = await kept(one)

      await protectedOrRefused(haddock, one, INSTALL_PACKAGE)
      assert.equal((await one.node.must(`readlink ${HOOK}`)).trim(), '/usr/sbin/lvguard')
      await one.agentWatches()
      assert.equal(await kept(one), before, 'from install.sh to the package')

      // The same with another version number, and a program that differs.
      await one.node.must(
        "dpkg-deb -R /root/lvguard/dist/lvguard.deb /root/next && sed -i 's/^Version: .*/&+next/' /root/next/DEBIAN/control && sed -i \"s/^;var build='/\\/\\/ next\\n&/\" /root/next/usr/sbin/lvguard && dpkg-deb -Znone -b /root/next /root/next.deb > /dev/null",
        { seconds: 240 },
      )
      const agent = await one.node.must('systemctl show -P MainPID lvguard')
      await protectedOrRefused(haddock, one, 'dpkg --install /root/next.deb')
      await one.agentWatches()
      assert.notEqual(await one.node.must('systemctl show -P MainPID lvguard'), agent, 'the agent was restarted')
      assert.equal(await kept(one), before, 'an upgrade')

      // Nobody noticed: the VM lives through a restart of libvirt, is refused elsewhere, and migrates to a host of the
      // other version and back.
      await one.restartLibvirt()
      await tintin.isWholeOn(one)
      await isRefused(tintin.start(two), /virtVG\/tintin is held exclusively by node1/)
      await succeeds(tintin.migrate(one, two))
      await tintin.runs(two)
      await succeeds(tintin.migrate(two, one))
      await tintin.runs(one)

      const again = await kept(one)
      const said = await protectedOrRefused(haddock, one, INSTALL_SH)
      assert.match(said, /^removed {4}the package lvguard, whose place this takes/m)
      await one.agentWatches()
      assert.equal(await kept(one), again, 'from the package to install.sh')
      await tintin.isWholeOn(one)
      await succeeds(tintin.destroy(one))
      await tintin.runs('nowhere')
    },
  },
  {
    name: 'package: the hook is a link, and runs as the file does (AppArmor on Debian 13)',
    spoils: true,
    seconds: 600,
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await olderByInstallSh(one)
      const file = await confinement(one, tintin)
      await one.node.must(INSTALL_PACKAGE)
      const link = await confinement(one, tintin)
      cluster.notes.push(
        `as a file: hook ${file.hook}, Node ${file.node}; as a link: hook ${link.hook}, Node ${link.node}`,
      )
      assert.equal(link.node, file.node)
      if (cluster.nodes.settings.suite === 'trixie') assert.equal(link.node, 'unconfined')
    },
  },
  {
    name: 'package: removed with a VM that runs, which is named, and purged: nothing is left but the VM',
    spoils: true,
    seconds: 600,
    async play(cluster) {
      const [one] = cluster.hosts
      await withPackage(cluster)
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      const said = await one.node.must('dpkg --remove lvguard 2>&1', { seconds: 120 })
      assert.match(said, /^lvguard: these VMs run on .*\nlvguard: {3}tintin\n/m)
      assert.equal((await one.node.shell(`[ -e ${HOOK} ] || [ -L ${HOOK} ]`)).code, 1)
      // libvirt knows that there is no hook any more.
      await one.restartLibvirt()
      await tintin.isWholeOn(one)
      await succeeds(tintin.destroy(one))
      assert.deepEqual((await one.truth()).locks.get('tintin'), 'ex', 'nobody unlocks it')
      await one.node.must('lvchange -an virtVG/tintin; dpkg --purge lvguard', { seconds: 120 })
      const left = await one.node.must(
        'find / -xdev -name "*lvguard*" ! -path "/root/*" ! -path "/var/lib/dpkg/*" ! -path "/proc/*" ! -path "/sys/*"; ls -d /run/lvguard 2> /dev/null || true',
      )
      assert.equal(left.trim(), '', 'what is left')
    },
  },
]

/** Both nodes with the package. */
async function withPackage(cluster: ClusterRing): Promise<void> {
  for (const { node } of cluster.hosts) await node.must(INSTALL_PACKAGE, { seconds: 240 })
}
