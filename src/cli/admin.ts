// What the chunk `admin` gives to the rest: all that hook calls never need.
export { runCommand } from './run-command.ts'
