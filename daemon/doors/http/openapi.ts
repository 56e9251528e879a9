import { z } from 'zod'
import { type Command, slug } from '../../commands/kit/command.ts'
import { errorCodes } from '../../lib/error.ts'

const what = 'Every command is one POST. Errors are RFC 9457 problem details.'

/** What authors of programs for an older version need to know. */
const changes = `Since 0.2, a property means one thing in all answers. \`address\` is an IP address; a web address is
\`web\` (was \`address\`) in ports, share and domain. Totals of the box are memoryTotalBytes (was memoryBytes),
swapTotalBytes (was swapBytes) and diskTotalBytes (was diskBytes) in ls, top, stat and box df. In checkpoint and box df,
savedMemoryBytes (was memoryBytes) is the disk that saved memory takes, and layerBytes (was diskBytes) the disk that the
own layer takes. A VM's diskBytes is what deleting it frees. \`show\` has cpuPercent, memoryBytes and diskBytes, as
\`ls\` has.`

/** Builds the OpenAPI 3.1 document of the API from the commands' declarations. */
export function openApi(commands: readonly Command[], version: string): object {
  return {
    openapi: '3.1.0',
    info: { title: 'Croft', version, description: `${what}\n\n${changes}` },
    security: [{ token: [] }],
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: problemSchema },
    },
    paths: {
      ...Object.fromEntries(
        commands.map((command) => [`/api/commands/${slug(command)}`, { post: operation(command) }]),
      ),
      '/api/exec': {
        get: {
          operationId: 'exec-conversation',
          summary: 'Run a command line in a conversation, as a WebSocket',
          description:
            'Texts are JSON; the client begins with {"argv", "terminal", "uid"}, and the last is {"exit"}. Binary messages are standard input, and output after a first byte: 1 standard output, 2 standard error.',
          responses: { 101: { description: 'The conversation' } },
        },
        post: {
          operationId: 'exec-line',
          summary: 'Run a command line given as text',
          requestBody: {
            required: true,
            content: { 'text/plain': { schema: { type: 'string' }, example: 'ls --json' } },
          },
          responses: {
            200: { description: 'Its output; the exit code is in X-Croft-Exit', content: { 'text/plain': {} } },
          },
        },
      },
      '/api/terminals': {
        get: {
          operationId: 'terminals',
          summary: 'List the open terminals of a VM',
          parameters: [{ name: 'vm', in: 'query', required: true, schema: { type: 'string' } }],
          responses: {
            200: { description: 'Id, start time and number of viewers of each', content: { 'application/json': {} } },
          },
        },
      },
      '/api/terminal': {
        get: {
          operationId: 'terminal',
          summary: 'Open a terminal in a VM, as a WebSocket',
          description:
            'Binary messages carry input and output. Text messages are JSON: first {"id"} of the terminal, or {"problem"} if there is none; {"ended":true} at its end; from the client {"columns","rows"}.',
          parameters: [
            { name: 'vm', in: 'query', required: true, schema: { type: 'string' } },
            {
              name: 'id',
              in: 'query',
              schema: { type: 'string' },
              description: 'An open terminal; without it, a new one starts',
            },
            { name: 'columns', in: 'query', schema: { type: 'integer', default: 80 } },
            { name: 'rows', in: 'query', schema: { type: 'integer', default: 24 } },
          ],
          responses: { 101: { description: 'The connection is now a WebSocket' } },
        },
      },
      '/metrics': {
        get: {
          operationId: 'metrics',
          summary: 'Metrics of the box, its VMs and the daemon, for Prometheus; not served at the web address',
          responses: { 200: { description: 'Text exposition format 0.0.4', content: { 'text/plain': {} } } },
        },
      },
      '/api/events': {
        get: {
          operationId: 'events',
          summary: 'Follow what happens, as server-sent events; Last-Event-ID resumes',
          responses: {
            200: {
              description: 'The first event is the whole state, unless resumed',
              content: { 'text/event-stream': {} },
            },
          },
        },
      },
    },
  }
}

function operation(command: Command): object {
  const input = z.toJSONSchema(command.args, { io: 'input' }) as { properties?: object }
  const confirmed = { yes: { type: 'boolean', description: 'Skip the confirmation' } }
  const schema = command.confirm ? { ...input, properties: { ...input.properties, ...confirmed } } : input
  return {
    operationId: slug(command),
    summary: command.summary,
    ...(command.details && { description: command.details }),
    'x-touches': command.touches,
    // The form on a command line: the positional arguments, and the argument that takes the remaining words.
    'x-positional': command.positional ?? [],
    ...(command.rest && { 'x-rest': command.rest }),
    requestBody: { content: { 'application/json': { schema } } },
    responses: {
      200: {
        description: 'Done',
        content: {
          'application/json': { schema: z.toJSONSchema(command.result, { io: 'output', unrepresentable: 'any' }) },
          'application/x-ndjson': { schema: { description: 'Lines of {progress}, then one of {result} or {problem}' } },
        },
      },
      default: {
        description: 'Refused or failed',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'detail', 'exit'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { enum: Object.keys(errorCodes) },
    detail: { type: 'string', description: 'What failed, and why' },
    hint: { type: 'string', description: 'What to do' },
    argument: { type: 'string', description: 'The argument at fault' },
    exit: { type: 'integer', description: 'The exit code of the same error on a command line' },
  },
}
