;; Hands the host a text of 60 MiB, which it would have to copy.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
  (import "archipel:host/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (if (i32.eq (memory.grow (i32.const 958)) (i32.const -1)) (then unreachable))
    (call $log (i32.const 3) (i32.const 0) (i32.const 62914560) (i32.const 0) (i32.const 0))
    (i32.const 64)))
