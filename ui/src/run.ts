import { signal } from '@preact/signals'
import { type Args, call, type Problem, type Progress } from './api.ts'
import { refresh } from './box.ts'

export interface Action {
  /** Name of the command, such as `share public`. */
  command: string
  args: Args
  /** What is said when it is done. */
  done?: string
}

export interface Running extends Action {
  id: number
  progress?: Progress
  /** How it ended. */
  outcome?: 'done' | Problem
}

/** What the console has set going, the newest last; those that are done leave after a moment. */
export const running = signal<readonly Running[]>([])
/** The action that the pointer or the keyboard is on. */
export const pointedAt = signal<Action | undefined>(undefined)
/** The daemon's question before something is lost. */
export const question = signal<{ words: string; action: Action; answer(yes: boolean): void } | undefined>(undefined)

let count = 0
const staysMs = 4000

function note(id: number, change: Partial<Running>): void {
  running.value = running.value.map((each) => (each.id === id ? { ...each, ...change } : each))
}

/** Shows no more of it. */
export function forget(id: number): void {
  running.value = running.value.filter((each) => each.id !== id)
}

/** Runs a command, shows how it goes, and asks before something is lost. @returns its result; undefined when it came to nothing */
export async function run<R>(action: Action): Promise<R | undefined> {
  const id = ++count
  running.value = [...running.value.filter(({ outcome }) => outcome === undefined), { ...action, id }]
  const attempt = (args: Args) => call<R>(action.command, args, (progress) => note(id, { progress }))
  try {
    const result = await attempt(action.args).catch(async (problem: Problem) => {
      if (problem.code !== 'needs-confirmation') throw problem
      const yes = await new Promise<boolean>((answer) => {
        question.value = { words: problem.message, action, answer }
      })
      question.value = undefined
      return yes ? attempt({ ...action.args, yes: true }) : undefined
    })
    if (result === undefined) {
      forget(id)
      return undefined
    }
    note(id, { outcome: 'done' })
    setTimeout(() => forget(id), staysMs)
    void refresh()
    return result
  } catch (problem) {
    note(id, { outcome: problem as Problem })
    return undefined
  }
}
