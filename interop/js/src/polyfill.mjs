// js-libp2p 3 calls Promise.withResolvers, which Node has only from 22 on. Imported before anything of libp2p.
if (Promise.withResolvers == null) {
  Promise.withResolvers = function () {
    let resolve, reject
    const promise = new this((res, rej) => { resolve = res; reject = rej })
    return { promise, resolve, reject }
  }
}
