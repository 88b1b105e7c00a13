// What the chunk `agent` gives to the rest: all that hook calls never need.
export { runAgent } from './run-agent.ts'
export { runStep } from '../cli/step.ts'
