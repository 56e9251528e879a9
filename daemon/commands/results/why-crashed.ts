/** Why a VM crashed, as a sentence. Pure. @param reason in a word of libvirt's */
export const whyCrashed = (id: string, reason: string): string =>
  reason === 'panicked'
    ? 'Its kernel panicked.'
    : `Its QEMU ended (${reason}): /var/log/libvirt/qemu/croft-${id}.log on the box may say why.`
