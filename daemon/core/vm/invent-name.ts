const adjectives =
  'amber autumn brave brisk bright calm clear clever cosy crisp dapper early fair fleet fond gentle glad golden green happy hardy honest humble jolly keen kind lively lucky mellow merry mild misty neat nimble noble patient plain plucky polite proud quick quiet rapid ready rosy round rustic sandy silent silver sleek smooth snug solid spry steady still sturdy subtle sunny swift tidy tranquil upland velvet vivid warm wise witty woolly young'.split(
    ' ',
  )
const animals =
  'adder badger bat beaver bee bison bittern boar bunting buzzard cat chough corncrake crane crow curlew deer dipper dove duck dunlin eagle eel egret eider elk ermine falcon ferret finch fox frog gannet goat goose grouse gull hare harrier hawk hedgehog heron hind jackdaw jay kestrel kite lamb lapwing lark linnet lynx magpie marten merlin mole moth newt otter owl oyster petrel pine pipit plover pony puffin quail raven robin rook salmon seal shrew siskin skua snipe sparrow squirrel stag starling stoat stork swallow swan swift tern thrush toad trout vole wagtail warbler weasel wren'.split(
    ' ',
  )

/**
 * Invents a name of two words, such as `quiet-otter`, that is not `taken`. Used by the daemon, and by the console,
 * which suggests one.
 * @param pick returns a random integer from 0 up to, but not including, `below`
 */
export function inventWith(taken: (name: string) => boolean, pick: (below: number) => number): string {
  for (let tries = 0; ; tries++) {
    const words = [adjectives[pick(adjectives.length)]!, animals[pick(animals.length)]!]
    // A crowded box: a third word makes room (80 × 80 × 80 names).
    if (tries >= 20) words.unshift(adjectives[pick(adjectives.length)]!)
    const name = words.join('-')
    if (!taken(name)) return name
  }
}
