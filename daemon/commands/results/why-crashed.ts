/** Returns a sentence that says why a VM crashed. Pure. @param reason as libvirt reports it */
export const whyCrashed = (id: string, reason: string): string =>
  reason === 'panicked'
    ? 'Its kernel panicked.'
    : `Its QEMU ended (${reason}): /var/log/libvirt/qemu/croft-${id}.log on the box may say why.`
