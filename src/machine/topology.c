// SPDX-License-Identifier: MIT
// From hwloc's tree to a plain list of CPUs.
#include "machine/topology.h"

#include "base/error.h"
#include "base/memory.h"
#include "machine/cpulist.h"
#include "machine/described.h"
#include "machine/load.h"
#include "machine/openmp.h"
#include "machine/quota.h"
#include "machine/settings.h"
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Groups and caches ----

static unsigned group_of(hwloc_topology_t t, hwloc_obj_t pu, hwloc_obj_type_t type, unsigned otherwise) {
    hwloc_obj_t group = hwloc_get_ancestor_obj_by_type(t, type, pu);
    return group ? group->logical_index : otherwise;
}

// The first NUMA node that the CPU belongs to (there may be several: of fast and of large memory).
static unsigned node_of(hwloc_topology_t t, unsigned cpu) {
    for (hwloc_obj_t node = NULL; (node = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, node));)
        if (hwloc_bitmap_isset(node->cpuset, cpu)) return node->os_index;
    return 0;
}

static size_t cache_size(hwloc_topology_t t, hwloc_obj_t pu, hwloc_obj_type_t type) {
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(t, type, pu);
    return cache ? (size_t)cache->attr->cache.size : 0;
}

static void read_cpus(struct shk_machine *m, hwloc_const_bitmap_t allowed) {
    hwloc_topology_t t = m->topology;
    for (unsigned i = 0; i < m->info.cpus; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, i);
        m->cpus[i] = (struct shk_cpu){.number = pu->os_index,
                                      .core = group_of(t, pu, HWLOC_OBJ_CORE, i),
                                      .l3 = group_of(t, pu, HWLOC_OBJ_L3CACHE, 0),
                                      .package = group_of(t, pu, HWLOC_OBJ_PACKAGE, 0),
                                      .node = node_of(t, pu->os_index),
                                      .allowed = hwloc_bitmap_isset(allowed, pu->os_index)};
    }
    hwloc_obj_t first = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, 0);
    hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_PACKAGE, first);
    const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    snprintf(m->info.cpu_model, sizeof m->info.cpu_model, "%.63s", model ? model : "");
    m->info.l1d = cache_size(t, first, HWLOC_OBJ_L1CACHE);
    m->info.l2 = cache_size(t, first, HWLOC_OBJ_L2CACHE);
    m->info.l3 = cache_size(t, first, HWLOC_OBJ_L3CACHE);
}

// ---- Kinds of cores ----

static void describe_kind(struct shk_core_kind *kind, const struct hwloc_info_s *infos, unsigned count) {
    unsigned base = 0; // MHz
    for (unsigned i = 0; i < count; i++) {
        const unsigned value = (unsigned)strtoul(infos[i].value, NULL, 10);
        if (strcmp(infos[i].name, "LinuxCapacity") == 0) kind->capacity = value;
        if (strcmp(infos[i].name, "FrequencyMaxMHz") == 0) kind->frequency = value;
        if (strcmp(infos[i].name, "FrequencyBaseMHz") == 0) base = value;
        if (strcmp(infos[i].name, "CoreType") == 0) {
            size_t length = strnlen(infos[i].value, sizeof kind->type - 1);
            memcpy(kind->type, infos[i].value, length);
            kind->type[length] = 0;
        }
    }
    if (!kind->frequency) kind->frequency = base;
}

// hwloc ranks the kinds by efficiency where it knows how; where it does not, all cores count as one kind.
static bool read_kinds(struct shk_machine *m) {
    int kinds = hwloc_cpukinds_get_nr(m->topology, 0);
    m->info.kinds = 1;
    if (kinds < 2) return true;
    if (kinds > SHK_MAX_KINDS) return true;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set) return false;
    for (int k = 0; k < kinds; k++) {
        int efficiency;
        unsigned count;
        struct hwloc_info_s *infos;
        if (hwloc_cpukinds_get_info(m->topology, (unsigned)k, set, &efficiency, &count, &infos, 0) || efficiency < 0) {
            for (unsigned i = 0; i < m->info.cpus; i++) m->cpus[i].kind = 0;
            memset(m->info.kind, 0, sizeof m->info.kind);
            m->info.kinds = 1;
            break;
        }
        m->info.kinds = (unsigned)kinds;
        describe_kind(&m->info.kind[k], infos, count);
        for (unsigned i = 0; i < m->info.cpus; i++)
            if (hwloc_bitmap_isset(set, m->cpus[i].number)) m->cpus[i].kind = (unsigned)k;
    }
    hwloc_bitmap_free(set);
    return true;
}

// ---- Counts ----

static bool seen_before(const struct shk_machine *m, unsigned i, size_t field) {
    const char *cpus = (const char *)m->cpus;
    for (unsigned j = 0; j < i; j++)
        if (memcmp(cpus + j * sizeof *m->cpus + field, cpus + i * sizeof *m->cpus + field, sizeof(unsigned)) == 0)
            return true;
    return false;
}

static void count(struct shk_machine *m) {
    struct shk_machine_info *info = &m->info;
    info->packages = info->nodes = info->cores = info->allowed_cores = info->allowed_cpus = 0;
    int l3 = hwloc_get_nbobjs_by_type(m->topology, HWLOC_OBJ_L3CACHE);
    info->l3_groups = l3 > 0 ? (unsigned)l3 : 0;
    for (unsigned k = 0; k < SHK_MAX_KINDS; k++)
        info->kind[k].cpus = info->kind[k].cores = info->kind[k].allowed_cores = 0;
    for (unsigned i = 0; i < info->cpus; i++) {
        const struct shk_cpu *c = &m->cpus[i];
        info->packages += !seen_before(m, i, offsetof(struct shk_cpu, package));
        info->nodes += !seen_before(m, i, offsetof(struct shk_cpu, node));
        bool new_core = !seen_before(m, i, offsetof(struct shk_cpu, core)), new_allowed = c->allowed;
        for (unsigned j = 0; j < i; j++)
            new_allowed = new_allowed && !(m->cpus[j].core == c->core && m->cpus[j].allowed);
        info->cores += new_core;
        info->kind[c->kind].cpus++;
        info->kind[c->kind].cores += new_core;
        info->allowed_cores += new_allowed;
        info->kind[c->kind].allowed_cores += new_allowed;
        info->allowed_cpus += c->allowed;
    }
}

// ---- Creation ----

struct description {
    char *xml; // [size], ends in a zero
    size_t size;
};

// What cpuset and affinity mask allow; on a described machine, what it says.
static bool read_allowed(struct shk_machine *m, hwloc_bitmap_t allowed) {
    if (hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(m->topology))) return false;
    if (!m->info.here) return true;
    hwloc_bitmap_t mask = hwloc_bitmap_alloc();
    if (!mask) return false;
    // Where OpenMP binds threads, the calling one is bound already, and OpenMP knows what was allowed before.
    if (shk_openmp_places(mask) || hwloc_get_cpubind(m->topology, mask, HWLOC_CPUBIND_THREAD) == 0) {
        if (hwloc_bitmap_intersects(allowed, mask)) hwloc_bitmap_and(allowed, allowed, mask);
    }
    hwloc_bitmap_free(mask);
    return true;
}

// Tells hwloc which machine: this one, or the described one.
static bool name_machine(struct shk_machine *m, const struct shk_machine_options *o, const struct description *d,
                         struct shk_error *err) {
    if (hwloc_topology_init(&m->topology)) return shk_fail(err, SHK_FAILED, "hwloc cannot start: out of memory");
    if (o->synthetic && hwloc_topology_set_synthetic(m->topology, o->synthetic))
        return shk_fail(
            err, SHK_BAD_INPUT,
            "'%.200s' describes no machine: write it down to the CPUs (pu), as in \"package:2 core:8 pu:2\"",
            o->synthetic);
    if (o->xml && hwloc_topology_set_xmlbuffer(m->topology, d->xml, (int)d->size))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%.200s holds no machine that hwloc can read: write one with lstopo FILE.xml", o->xml);
    return true;
}

static bool load(struct shk_machine *m, const struct shk_machine_options *o, const struct description *d,
                 struct shk_error *err) {
    if (!name_machine(m, o, d, err)) return false;
    if (hwloc_topology_set_flags(m->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) ||
        hwloc_topology_load(m->topology)) {
        if (m->info.here) return shk_fail(err, SHK_FAILED, "hwloc cannot read this machine");
        return shk_fail(err, SHK_BAD_INPUT, "hwloc cannot load the machine that '%.200s' describes",
                        o->xml ? o->xml : o->synthetic);
    }
    if (m->info.here && !hwloc_topology_is_thissystem(m->topology))
        return shk_fail(
            err, SHK_BAD_INPUT,
            "HWLOC_XMLFILE, HWLOC_SYNTHETIC or the like shows hwloc another machine than this one: unset it");
    int cpus = hwloc_get_nbobjs_by_type(m->topology, HWLOC_OBJ_PU);
    if (cpus < 1) return shk_fail(err, SHK_FAILED, "hwloc finds no CPU");
    if (o->xml && cpus > SHK_MAX_DESCRIBED_CPUS)
        return shk_fail(err, SHK_BAD_INPUT, "%.200s holds a machine of %d CPUs, but %d are the most", o->xml, cpus,
                        SHK_MAX_DESCRIBED_CPUS);
    for (hwloc_obj_t pu = NULL; (pu = hwloc_get_next_obj_by_type(m->topology, HWLOC_OBJ_PU, pu));)
        if (pu->os_index > SHK_MAX_CPU_NUMBER)
            return shk_fail(err, SHK_BAD_INPUT, "the machine has a CPU without a number, or with one above %d",
                            SHK_MAX_CPU_NUMBER);
    m->info.cpus = (unsigned)cpus;
    return (m->cpus = shk_alloc(m->info.cpus, sizeof *m->cpus, "the list of CPUs", err));
}

// Leaves of the allowed CPUs those that `list` names.
static bool restrict_to(struct shk_machine *m, const char *list, struct shk_error *err) {
    enum { MOST = 8192 };
    unsigned *numbers = shk_alloc(MOST, sizeof *numbers, "a list of CPUs", err), n = 0;
    if (!numbers) return false;
    bool ok = shk_cpulist_parse(list, numbers, MOST, &n);
    if (!ok) shk_fail(err, SHK_BAD_INPUT, "'%.200s' is no list of CPUs: write it as in 0-3,8, each CPU once", list);
    for (unsigned i = 0; ok && i < n; i++) {
        bool found = false;
        for (unsigned c = 0; c < m->info.cpus; c++)
            found = found || (m->cpus[c].allowed && m->cpus[c].number == numbers[i]);
        if (!found)
            ok = shk_fail(err, SHK_BAD_INPUT,
                          "CPU %u is to be allowed, but this machine has no such CPU for this process", numbers[i]);
    }
    for (unsigned c = 0; ok && c < m->info.cpus; c++) {
        bool named = false;
        for (unsigned i = 0; i < n; i++) named = named || m->cpus[c].number == numbers[i];
        m->cpus[c].allowed = m->cpus[c].allowed && named;
    }
    shk_free(numbers);
    return ok;
}

static void read_quota(struct shk_machine *m, double given) {
    struct shk_quota quota = {0};
    if (m->info.here && given <= 0) shk_quota_read("", &quota);
    m->info.quota = given > 0 ? given : quota.cpus;
    memcpy(m->info.quota_file, quota.file, sizeof quota.file);
    memcpy(m->info.quota_malformed, quota.malformed, sizeof quota.malformed);
}

static bool inspect(struct shk_machine *m, const struct shk_machine_options *o, const struct description *d,
                    struct shk_error *err) {
    if (!load(m, o, d, err)) return false;
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    bool ok = allowed && read_allowed(m, allowed);
    if (ok) {
        read_cpus(m, allowed);
        ok = read_kinds(m);
    }
    hwloc_bitmap_free(allowed);
    if (!ok) return shk_fail(err, SHK_FAILED, "out of memory for the machine's CPUs");
    if (o->allow && !restrict_to(m, o->allow, err)) return false;
    count(m);
    read_quota(m, o->quota);
    if (m->info.here) shk_load_mark("", m, &m->load);
    return true;
}

struct trial {
    struct shk_machine *machine;
    const struct shk_machine_options *options;
    const struct description *description;
};

static bool try_out(void *user, struct shk_error *err) {
    struct trial *t = user;
    return inspect(t->machine, t->options, t->description, err);
}

static bool inspect_xml(struct shk_machine *m, const struct shk_machine_options *o, struct shk_error *err) {
    struct description d;
    d.xml = shk_described_read(o->xml, &d.size, err);
    if (!d.xml) return false;
    struct trial trial = {m, o, &d};
    bool ok = shk_described_try(o->xml, try_out, &trial, err) && inspect(m, o, &d, err);
    shk_free(d.xml);
    return ok;
}

static bool fill(struct shk_machine *m, const struct shk_machine_options *o, struct shk_error *err) {
    m->info.here = !o->synthetic && !o->xml;
    if (o->synthetic && o->xml)
        return shk_fail(err, SHK_BAD_INPUT,
                        "a synthetic machine and an XML file are given, but only one machine can be described");
    if (o->xml) return inspect_xml(m, o, err);
    return (o->synthetic ? shk_described_size(o->synthetic, err) : shk_environment_check(err)) &&
           inspect(m, o, NULL, err);
}

struct shk_machine *shk_machine_create(const struct shk_machine_options *options, struct shk_error *err) {
    static const struct shk_machine_options none;
    struct shk_machine *m = shk_alloc(1, sizeof *m, "a machine", err);
    if (m && fill(m, options ? options : &none, err)) return m;
    shk_machine_free(m);
    return NULL;
}

void shk_machine_free(struct shk_machine *m) {
    if (!m) return;
    if (m->topology) hwloc_topology_destroy(m->topology);
    shk_free(m->cpus);
    shk_free(m);
}

const struct shk_machine_info *shk_machine_info(const struct shk_machine *m) { return &m->info; }
const struct shk_cpu *shk_machine_cpus(const struct shk_machine *m) { return m->cpus; }
