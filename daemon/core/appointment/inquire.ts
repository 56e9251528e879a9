import type { Appointment, Vm } from '../../store/index.ts'
import { type Box, stateOf } from '../box.ts'
import { perBox } from '../per-box.ts'
import { type Answer, connectionsQuestion, parseAnswer, question } from './guest-answer.ts'

/** An emulated guest on a busy box takes up to 15 s. */
const answerMs = 60_000

/**
 * A VM that has something due within this time is not put to rest for being idle, and not asked again for as long: to
 * answer takes an emulated guest as much CPU as four minutes of idling.
 */
export const soonMs = 5 * 60_000

/** How long a connection holds until the guest is asked for connections again, which takes it a third of that. */
const againMs = 60_000

export const nothing: Answer = { appointment: null, connection: undefined, wrong: undefined }

/** VMs whose wrong answer is in the log. */
const logged = perBox(() => new Set<string>())

/**
 * Asks a VM that is awake what is due in it, and whether it has connections of its own. Never fails: a guest that does
 * not answer, or answers nonsense, has nothing due.
 * @param signal aborted when nobody waits for the answer any more
 * @param asked `connectionsQuestion` to ask for no more than that, as where a VM keeps no appointments
 */
export async function inquire(
  box: Box,
  vm: Vm,
  signal?: AbortSignal,
  asked = vm.keepsAppointments ? question : connectionsQuestion,
): Promise<Answer> {
  const aborted = Promise.withResolvers<undefined>()
  const onAbort = () => aborted.resolve(undefined)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const result = await Promise.race([box.guests.script(vm.uuid, asked, answerMs), aborted.promise])
    if (!result) return nothing
    const answer = parseAnswer(result.stdout, [`${vm.ip}/${box.settings.subnet.prefix}`], Date.now())
    if (answer.wrong) logOnce(box, vm, answer.wrong)
    else logged(box).delete(vm.id)
    return vm.keepsAppointments ? answer : { ...answer, appointment: null }
  } catch (err) {
    logOnce(box, vm, err)
    return nothing
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

function logOnce(box: Box, { id }: Vm, why: unknown): void {
  if (logged(box).has(id)) return
  logged(box).add(id)
  box.log.warn(why instanceof Error ? { vm: id, err: why } : { vm: id, why }, 'could not be asked what is due in it')
}

/** Why a VM stays awake that nobody uses from outside, and until when, by the steady clock. */
type Stay = { until: number } & ({ appointment: Appointment } | { connection: string })

/** By the VM's id. */
const stays = perBox(() => new Map<string, Stay>())

/**
 * Notes why a VM that could sleep by its use stays awake, if there is a reason.
 * @param soon also something that is due soon is one @returns whether it stays awake
 */
export function noteStay(box: Box, { id }: Vm, { appointment, connection }: Answer, soon: boolean): boolean {
  const now = performance.now()
  stays(box).delete(id)
  if (connection !== undefined) {
    stays(box).set(id, { connection, until: now + againMs })
    box.usage.seeOne(id, inUse(connection))
  } else if (appointment && soon && Date.parse(appointment.at) < Date.now() + soonMs) {
    stays(box).set(id, { appointment, until: now + soonMs })
  }
  return stays(box).has(id)
}

const inUse = (connection: string): string => `connected to ${connection}`

/** Why a VM counts as in use, by its own connections; undefined when it does not. */
export function ownConnection(box: Box, id: string): string | undefined {
  const stay = stays(box).get(id)
  return stay && 'connection' in stay ? inUse(stay.connection) : undefined
}

/** What was due so soon in a VM that is awake that it is not put to rest; null for nothing. */
export function dueSoon(box: Box, vm: Vm): Appointment | null {
  const stay = stays(box).get(vm.id)
  return stay && 'appointment' in stay && stay.until > performance.now() && stateOf(box, vm) === 'awake'
    ? stay.appointment
    : null
}

/** Whether a VM was asked a short while ago, and stays awake. */
export const staysAwake = (box: Box, id: string): boolean => (stays(box).get(id)?.until ?? 0) > performance.now()

/** Asks again where VMs are connected to that are in use by nothing else, each once a minute. */
export async function askConnected(box: Box): Promise<void> {
  const ids = [...stays(box).keys()].filter((id) => !staysAwake(box, id))
  await Promise.all(
    ids.map(async (id) => {
      const vm = box.store.state.vms[id]
      const why = ownConnection(box, id)
      const isOnly = why !== undefined && box.usage.of(id)?.why === why
      if (vm && isOnly && stateOf(box, vm) === 'awake')
        noteStay(box, vm, await inquire(box, vm, undefined, connectionsQuestion), false)
      else stays(box).delete(id)
    }),
  )
}
