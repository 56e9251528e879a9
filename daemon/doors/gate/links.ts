import { makeId } from '../../core/vm/identity.ts'
import { digestOf, newSecret } from '../../lib/secret.ts'
import { filterRecord, indexBy, type Link, type Store, type Vm } from '../../store/index.ts'

const byDigest = indexBy((link: Link) => link.digest)

/**
 * Share links. A link opens one address of one VM to anybody who has it, until it expires or is revoked. Its secret is
 * also the guest's cookie, so nothing can outlive the link.
 */
export class Links {
  readonly #store: Store
  readonly #clock: () => Date

  constructor(store: Store, clock: () => Date = () => new Date()) {
    this.#store = store
    this.#clock = clock
  }

  /** @param port null for the VM's plain address @returns the link, and its secret, which is not stored */
  async make(vm: Vm, port: number | null, name: string, seconds: number): Promise<{ link: Link; secret: string }> {
    const secret = newSecret()
    const now = this.#clock()
    const link: Link = {
      id: makeId('lnk'),
      digest: digestOf(secret),
      vm: vm.id,
      port,
      name,
      createdAt: now.toISOString(),
      expiresAt: new Date(now.getTime() + seconds * 1000).toISOString(),
    }
    await this.#store.update((state) => {
      const alive = filterRecord(state.links, (each) => this.#isAlive(each))
      return { ...state, links: { ...alive, [link.id]: link } }
    })
    return { link, secret }
  }

  /** Finds the link with the digest of its secret, if it opens this address of the VM. */
  find(vm: Vm, port: number | null, digest: string): Link | undefined {
    const link = byDigest(this.#store.state.links, digest)
    return link?.vm === vm.id && link.port === port && this.#isAlive(link) ? link : undefined
  }

  /** Returns the valid links into a VM. */
  of(vm: Vm): Link[] {
    return Object.values(this.#store.state.links).filter((link) => link.vm === vm.id && this.#isAlive(link))
  }

  #isAlive(link: Link): boolean {
    return link.expiresAt > this.#clock().toISOString() && link.vm in this.#store.state.vms
  }
}
