// SPDX-License-Identifier: Apache-2.0

// Package proxywasm writes small WebAssembly modules that proxies can run as
// plugins (Proxy-Wasm ABI 0.2.1), instruction by instruction, so that tests have
// a real module and no binary is kept.
package proxywasm

// Module adds a header to requests and to responses, and counts the requests and
// connections that it sees.
type Module struct {
	// Header that is added; Value is its value unless the plugin is configured:
	// then it is the configuration.
	Header, Value string
	// Counter's name; Envoy shows it as wasmcustom.<name>.
	Counter string
	// TrapAbove ends the machine with a fault when a request has more headers; 0 for never.
	TrapAbove int32
}

// The instructions that are used (WebAssembly core specification, section 5.4).
const (
	opUnreachable = 0x00
	opIf          = 0x04
	opEnd         = 0x0b
	opCall        = 0x10
	opDrop        = 0x1a
	opLocalGet    = 0x20
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opLoad        = 0x28
	opConst       = 0x41
	opConst64     = 0x42
	opGreater     = 0x4a // signed
	opAdd         = 0x6a
	opAnd         = 0x71

	typeI32  = 0x7f
	typeI64  = 0x7e
	typeFunc = 0x60
	nothing  = 0x40
)

// Functions that the host has, in the order of the imports.
const (
	addHeader = iota
	getBuffer
	defineMetric
	incrementMetric
	imports // how many there are
)

// Globals.
const (
	heap = iota
	valuePointer
	valueSize
	metric
)

// Where things are in the memory: what the host returns, and the strings.
const (
	returned = 16
	text     = 1024
	heapFrom = 1 << 16
)

// signature of functions: i32 parameters, and whether there is an i32 result.
func signature(parameters int, result bool) []byte {
	out := append([]byte{typeFunc}, vector(parameters, func(int) []byte { return []byte{typeI32} })...)
	if result {
		return append(out, 1, typeI32)
	}
	return append(out, 0)
}

// function that the module has, and the name by which the host finds it.
type function struct {
	name string
	kind byte
	code []byte
}

// Bytes of the module.
func (m Module) Bytes() []byte {
	types := [][]byte{
		signature(0, false), signature(1, true), signature(2, false), signature(2, true), signature(3, true), signature(4, true), signature(5, true),
		{typeFunc, 2, typeI32, typeI64, 1, typeI32},
	}
	const none, one, pair, pairResult, three, four, five, count = 0, 1, 2, 3, 4, 5, 6, 7
	host := []struct {
		name string
		kind byte
	}{
		{"proxy_add_header_map_value", five}, {"proxy_get_buffer_bytes", five}, {"proxy_define_metric", four}, {"proxy_increment_metric", count},
	}
	functions := []function{
		{"proxy_abi_version_0_2_1", none, nil},
		{"proxy_on_memory_allocate", one, allocate()},
		{"proxy_on_context_create", pair, nil},
		{"proxy_on_vm_start", pairResult, constant(1)},
		{"proxy_on_configure", pairResult, m.configure()},
		{"proxy_on_request_headers", three, m.onRequest()},
		{"proxy_on_response_headers", three, m.onResponse()},
		{"proxy_on_new_connection", one, join(m.countOne(), constant(0))},
	}
	content := m.Header + m.Value + m.Counter
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	out = section(out, 1, vector(len(types), func(i int) []byte { return types[i] }))
	out = section(out, 2, vector(len(host), func(i int) []byte {
		return join(name("env"), name(host[i].name), []byte{0, host[i].kind})
	}))
	out = section(out, 3, vector(len(functions), func(i int) []byte { return []byte{functions[i].kind} }))
	out = section(out, 5, []byte{1, 0, 16}) // one memory of 16 pages
	globals := []int32{heapFrom, text + int32(len(m.Header)), int32(len(m.Value)), 0}
	out = section(out, 6, vector(len(globals), func(i int) []byte { return join([]byte{typeI32, 1}, constant(globals[i]), []byte{opEnd}) }))
	out = section(out, 7, vector(len(functions)+1, func(i int) []byte {
		if i == len(functions) {
			return join(name("memory"), []byte{2, 0})
		}
		return join(name(functions[i].name), []byte{0}, unsigned(uint64(imports+i)))
	}))
	out = section(out, 10, vector(len(functions), func(i int) []byte {
		body := join([]byte{0}, functions[i].code, []byte{opEnd}) // no locals
		return join(unsigned(uint64(len(body))), body)
	}))
	return section(out, 11, join([]byte{1, 0}, constant(text), []byte{opEnd}, name(content)))
}

// allocate memory, which is never given back.
func allocate() []byte {
	return join(get(heap), get(heap), local(0), []byte{opAdd}, constant(7), []byte{opAdd}, constant(-8), []byte{opAnd}, set(heap))
}

// configure keeps the configuration, if there is one, and defines the counter.
func (m Module) configure() []byte {
	const pluginConfiguration, counter = 7, 0
	return join(
		local(1), []byte{opIf, nothing},
		constant(pluginConfiguration), constant(0), local(1), constant(returned), constant(returned+4), call(getBuffer), []byte{opDrop},
		load(returned), set(valuePointer), load(returned+4), set(valueSize),
		[]byte{opEnd},
		constant(counter), constant(text+int32(len(m.Header)+len(m.Value))), constant(int32(len(m.Counter))), constant(returned), call(defineMetric), []byte{opDrop},
		load(returned), set(metric),
		constant(1),
	)
}

func (m Module) onRequest() []byte {
	var trap []byte
	if m.TrapAbove > 0 {
		trap = join(local(1), constant(m.TrapAbove), []byte{opGreater, opIf, nothing, opUnreachable, opEnd})
	}
	const requestHeaders = 0
	return join(trap, m.add(requestHeaders), m.countOne(), constant(0))
}

func (m Module) onResponse() []byte {
	const responseHeaders = 2
	return join(m.add(responseHeaders), constant(0))
}

// add the header to a map of headers.
func (m Module) add(to int32) []byte {
	return join(constant(to), constant(text), constant(int32(len(m.Header))), get(valuePointer), get(valueSize), call(addHeader), []byte{opDrop})
}

func (m Module) countOne() []byte {
	return join(get(metric), []byte{opConst64, 1}, call(incrementMetric), []byte{opDrop})
}
