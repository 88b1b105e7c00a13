// The first JavaScript of dist/qemu, for whoever has to change it.
//
// What it is. build.mjs bundles src into a few chunks of text (`main`, and each part that only some calls need), and
// puts them behind this file as
//   var chunks = { main: function () {/*...*/}, log: function () {/*...*/} }
// Each is a function whose body is one long comment: Node reads it, and neither parses nor compiles it. `load` takes
// the text out of the comment, compiles it and runs it, and so does `import()` in the sources, which build.mjs turns
// into require('chunk:NAME'). build.mjs puts one line before this file: `var build`, a hash of all chunks.
//
// Why. libvirt starts this program at each step of a VM's life, and Node compiles anew each time. V8 can keep what it
// has compiled (its code cache); that is two thirds of the time that is ours to save (FACTS 40). So a call that did its
// work writes V8's cache of each chunk into /var/cache/lvguard, and the next one of the same kind gives it to V8.
//
// What may go wrong, and what is done about it:
// - V8 checks its own version and flags in a cache. It does not check the text: `build` is in the file's name.
// - Two Nodes of one version may be built differently, and V8 compares no more than its version and flags: size and
//   time of change of Node's binary are in the name too.
// - V8 runs, or crashes on, a cache that is damaged (measured on Node 20): the file holds everything twice, and is
//   believed if both halves are the same. That is faster than any checksum.
// - Whoever can write into the folder can run code as root: it is believed only if it is a folder of this user that
//   nobody else can write to.
// - Everything else (no folder, a full disk, a cache that V8 rejects): the chunk is compiled, as if there were no
//   cache. Nothing is said.
//
// How to be rid of it: LVGUARD_NO_CACHE=1 neither reads nor writes one. libvirt gives no variable to a hook (FACTS 10):
// for its calls, put an empty file in the place of /var/cache/lvguard. It may be deleted at any time.
//
// The rules here. The words must be those of any Node, so that an old one can still say that it is too old: no `const`,
// no arrows, no `?.`. build.mjs makes it small. Nothing here may throw but what a chunk throws. What it does is tested
// in test/unit/loader.test.ts.
var version = process.versions.node.split('.').map(Number)
if (version[0] < 18 || (version[0] === 18 && version[1] < 19)) {
  // Operations that are not handled end well, as they do without any Node (src/stub.sh).
  var isHandled = process.argv.length < 6 || ['prepare', 'release', 'migrate'].indexOf(process.argv[3]) >= 0
  if (isHandled) process.stderr.write('lvguard: Node.js 18.19 or newer is needed, but ' + process.execPath + ' is ' + process.version + '.\n')
  process.exit(isHandled ? 1 : 0)
}

var fs = require('fs')
var vm = require('vm')
var scripts = {}

var cacheFolder = (process.env.LVGUARD_ROOT || '') + '/var/cache/lvguard'
var isCacheOff = !!process.env.LVGUARD_NO_CACHE

// One for each operation, since V8 keeps just what a call has used.
function prefixOf(name) {
  var operation = process.argv[3]
  return name + '-' + (['prepare', 'release', 'migrate'].indexOf(operation) >= 0 ? operation : 'other') + '-'
}

// Which Node this is. An upgrade of it within one version (a package built anew) changes at least the time. Throws if
// the binary is gone, as in the middle of an upgrade.
var binary
function binaryOf() {
  if (binary === undefined) {
    var state = fs.statSync(process.execPath)
    binary = process.version + '-' + process.arch + '-' + state.size.toString(36) + '-' + Math.round(state.mtimeMs).toString(36)
  }
  return binary
}

function cacheFile(name) {
  return cacheFolder + '/' + prefixOf(name) + build + '-' + binaryOf()
}

/** Throws, or gives undefined, if there is no sound cache. */
function readCache(name) {
  if (isCacheOff) return undefined
  var state = fs.lstatSync(cacheFolder)
  // Whoever can write there can run code as root.
  if (!state.isDirectory() || state.uid !== process.getuid() || (state.mode & 18) !== 0) return undefined
  var file = fs.readFileSync(cacheFile(name))
  var half = file.length / 2
  return half > 0 && file.compare(file, half, file.length, 0, half) === 0 ? file.subarray(0, half) : undefined
}

function load(name) {
  var cached
  try {
    cached = readCache(name)
  } catch (error) {
    cached = undefined
  }
  var script = new vm.Script(sourceOf(name), { filename: __filename + ':' + name, cachedData: cached })
  if (cached === undefined || script.cachedDataRejected) scripts[name] = script
  var module = { exports: {} }
  script.runInThisContext()(module.exports, requireFor, module, saveCache, sourceOf)
  return module.exports
}

function sourceOf(name) {
  var text = chunks[name].toString()
  var source = text.slice(text.indexOf('/*') + 2, text.lastIndexOf('*/'))
  // base64, but for its / which could end the comment.
  if (source.slice(0, 7) === 'packed:') return require('zlib').inflateRawSync(Buffer.from(source.slice(7).replace(/_/g, '/'), 'base64')).toString('latin1')
  return source.indexOf('*<end>/') < 0 ? source : source.split('*<end>/').join('*/')
}

function requireFor(name) {
  return name.slice(0, 6) === 'chunk:' ? load(name.slice(6)) : require(name)
}

// Keeps what V8 has compiled so far for the next call. Called at the end of a call that has done its work; may fail
// without harm.
function saveCache() {
  if (isCacheOff) return
  try {
    for (var name in scripts) {
      fs.mkdirSync(cacheFolder, { recursive: true, mode: 448 })
      fs.readdirSync(cacheFolder).forEach(function (old) {
        if (old.indexOf(prefixOf(name)) === 0) fs.rmSync(cacheFolder + '/' + old, { force: true })
      })
      var temporary = cacheFolder + '/.' + name + '-' + process.pid
      var data = scripts[name].createCachedData()
      fs.writeFileSync(temporary, Buffer.concat([data, data]), { mode: 384 })
      fs.renameSync(temporary, cacheFile(name))
    }
  } catch (error) {
    if (temporary) fs.rmSync(temporary, { force: true })
  }
}
