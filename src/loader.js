// The first JavaScript of dist/qemu, in words that any Node understands, so that an old one can say that it is too old.
// build.mjs puts `build`, the hash of the chunks' text, before it, and `chunks` behind it: functions of which each is one long comment.
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

// Chunks stand in comments: what a call does not need is not even parsed, and nothing is read twice. And V8's code cache saves compiling what it does need, two thirds
// of the time that is ours to save (FACTS 40). V8 checks its own version and flags; the text it does not, so the name has its hash; and
// it runs or crashes on a damaged cache (measured on Node 20), so the file has everything twice: comparing is faster than any checksum.
var cacheFolder = (process.env.LVGUARD_ROOT || '') + '/var/cache/lvguard'
// One for each operation, since V8 keeps just what a call has used.
function prefixOf(name) {
  var operation = process.argv[3]
  return name + '-' + (['prepare', 'release', 'migrate'].indexOf(operation) >= 0 ? operation : 'other') + '-'
}
function cacheFile(name) {
  return cacheFolder + '/' + prefixOf(name) + build + '-' + process.version + '-' + process.arch
}

/** Throws, or gives undefined, if there is no sound cache. */
function readCache(name) {
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

// Keeps what V8 has compiled so far for the next call. Called at the end of a call that has done its work; may fail without harm.
function saveCache() {
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
