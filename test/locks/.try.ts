import { LocksRing } from './ring.ts'
const ring = await LocksRing.create()
const [a, b] = ring.hosts
await ring.volume('t1')
for (let i = 0; i < 25; i++) {
  await a.must('lvchange','-aey','virtVG/t1')
  await a.killLocking()
  try { const p = performance.now(); await a.restartLocking(); console.log(i, (performance.now()-p).toFixed(0), await a.lock('t1')) } catch (e) { console.log(String(e)); break }
}
await ring.close()
