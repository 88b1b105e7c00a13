// The first JavaScript of dist/qemu, in words that any Node understands, so that an old one can say that it is too old.
var version = process.versions.node.split('.').map(Number)
if (version[0] < 18 || (version[0] === 18 && version[1] < 19)) {
  // Operations that are not handled end well, as they do without any Node (src/stub.sh).
  var isHandled = process.argv.length < 6 || ['prepare', 'release', 'migrate'].indexOf(process.argv[3]) >= 0
  if (isHandled) process.stderr.write('lvguard: Node.js 18.19 or newer is needed, but ' + process.execPath + ' is ' + process.version + '.\n')
  process.exit(isHandled ? 1 : 0)
}
// Chunks are strings: what a call does not need is not even parsed (a third of a short call's time otherwise: FACTS 40).
function load(name) {
  var module = { exports: {} }
  var words = ['exports', 'require', 'module']
  require('vm').compileFunction(chunks[name], words, { filename: __filename + ':' + name })(module.exports, requireFor, module)
  return module.exports
}
function requireFor(name) {
  return name.slice(0, 6) === 'chunk:' ? load(name.slice(6)) : require(name)
}
