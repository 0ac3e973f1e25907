// Decompression within a limit; see the header. Both libraries want the whole room at once, and the sizes that packed
// data promises are anybody's: room starts at a promise that is likely, and doubles.
#include "telemetry/inflate.hpp"

#include <libdeflate.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <memory>
#include <new>

namespace dbnet::telemetry {
namespace {

constexpr size_t likely_ratio = 64; // more than this a promise is not believed at first
constexpr size_t first_room = 4096;

// Calls attempt(room, used) with more and more room until it says what it is.
template<class Attempt>
Inflated with_room(size_t promised, size_t packed, size_t limit, std::string &text, Attempt attempt) {
    const size_t likely = std::max(first_room, packed * likely_ratio);
    for (size_t room = std::min({std::max(promised, packed), likely, limit});; room = std::min(room * 2, limit)) {
        text.resize(room);
        size_t used = 0;
        const Inflated result = attempt(text.data(), room, used);
        if (result == Inflated::too_large && room < limit)
            continue;
        text.resize(result == Inflated::whole ? used : 0);
        return result;
    }
}

Inflated inflate_members(libdeflate_decompressor *decompressor, std::string_view packed, char *out, size_t room,
                         size_t &used) {
    do {
        size_t taken = 0, made = 0;
        switch (libdeflate_gzip_decompress_ex(decompressor, packed.data(), packed.size(), out + used, room - used,
                                              &taken, &made)) {
        case LIBDEFLATE_SUCCESS:
            break;
        case LIBDEFLATE_INSUFFICIENT_SPACE:
            return Inflated::too_large;
        default:
            return Inflated::malformed;
        }
        packed.remove_prefix(taken);
        used += made;
    } while (!packed.empty());
    return Inflated::whole;
}

Inflated gunzip(std::string_view packed, size_t limit, std::string &text) {
    const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor(
        libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
    if (!decompressor)
        throw std::bad_alloc();
    // The last four bytes are the size of the last member, little-endian.
    size_t promised = 0;
    for (size_t i = 0; i < 4 && i < packed.size(); i++)
        promised = promised << 8 | static_cast<unsigned char>(packed[packed.size() - 1 - i]);
    return with_room(promised, packed.size(), limit, text, [&](char *out, size_t room, size_t &used) {
        return inflate_members(decompressor.get(), packed, out, room, used);
    });
}

Inflated unzstd(std::string_view packed, size_t limit, std::string &text) {
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
    if (!context)
        throw std::bad_alloc();
    const unsigned long long promised = ZSTD_getFrameContentSize(packed.data(), packed.size());
    const bool is_known = promised != ZSTD_CONTENTSIZE_UNKNOWN && promised != ZSTD_CONTENTSIZE_ERROR;
    return with_room(is_known ? promised : 0, packed.size(), limit, text, [&](char *out, size_t room, size_t &used) {
        used = ZSTD_decompressDCtx(context.get(), out, room, packed.data(), packed.size());
        if (!ZSTD_isError(used))
            return packed.empty() ? Inflated::malformed : Inflated::whole;
        if (ZSTD_getErrorCode(used) == ZSTD_error_memory_allocation)
            throw std::bad_alloc();
        return ZSTD_getErrorCode(used) == ZSTD_error_dstSize_tooSmall ? Inflated::too_large : Inflated::malformed;
    });
}

} // namespace

Inflated inflate(Compression compression, std::string_view packed, size_t limit, std::string &text) {
    switch (compression) {
    case Compression::gzip:
        return gunzip(packed, limit, text);
    case Compression::zstd:
        return unzstd(packed, limit, text);
    case Compression::none:
        break;
    }
    text.assign(packed.substr(0, limit));
    return packed.size() > limit ? Inflated::too_large : Inflated::whole;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
