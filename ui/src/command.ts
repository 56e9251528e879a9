import { type Signal, useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { type ApiProblem, type Args, call } from './api.ts'
import { happened } from './box.ts'

export interface Answer<R> {
  value: R | undefined
  problem: ApiProblem | undefined
  again(): void
}

/** The current result of a command. It runs when the view appears, when `news` changes, and when `again` is called. */
export function useCommand<R>(name: string, args: Args = {}, everyMs?: number, news = happened): Answer<R> {
  const value: Signal<R | undefined> = useSignal(undefined)
  const problem: Signal<ApiProblem | undefined> = useSignal(undefined)
  const count = useSignal(0)
  const heard = news.value
  const asked = JSON.stringify(args)
  useEffect(() => {
    let gone = false
    call<R>(name, JSON.parse(asked)).then(
      (result) => {
        if (gone) return
        value.value = result
        problem.value = undefined
      },
      (error: ApiProblem) => {
        if (!gone) problem.value = error
      },
    )
    return () => {
      gone = true
    }
  }, [name, asked, heard, count.value])
  useEffect(() => {
    if (everyMs === undefined) return
    const timer = setInterval(() => {
      if (!document.hidden) count.value++
    }, everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return { value: value.value, problem: problem.value, again: () => count.value++ }
}
